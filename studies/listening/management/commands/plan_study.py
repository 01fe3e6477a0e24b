"""``manage.py plan_study``: how many listeners, and how many pieces, a study needs."""

from studies.command import EarwitnessCommand
from studies.listening.errors import ListeningError
from studies.listening.management.commands.analyse_ratings import is_file
from studies.listening.models import Study
from studies.listening.selectors import get_study, ratings_table

SOURCES = ("participant", "cell", "piece", "residual")


class Command(EarwitnessCommand):
    """Parses arguments around `analysis.ratings.plan`."""

    help = (
        "The power of a study before it is made: standard error, detectable difference, and whether more "
        "pieces or more listeners would help. Spread is that of a usual study, of the one named by --like, "
        "or as given. With --runs, studies are simulated and analysed as real ones are."
    )
    writes_json = True

    def add_arguments(self, parser):
        """The size of the study, the difference to find, and how ratings spread."""
        parser.add_argument("--listeners", type=int, default=30, metavar="N", help="default 30")
        parser.add_argument("--pieces", type=int, default=5, metavar="N", help="per condition (default 5)")
        parser.add_argument(
            "--heard", type=int, metavar="N", help="pieces of each condition that one listener hears (all)"
        )
        parser.add_argument("--conditions", type=int, default=2, metavar="N", help="default 2")
        parser.add_argument(
            "--difference", type=float, default=1.0, metavar="POINTS", help="to be found (default 1)"
        )
        parser.add_argument(
            "--margin", type=float, default=0.5, metavar="POINTS", help="of equivalence (default 0.5)"
        )
        parser.add_argument(
            "--like", metavar="SLUG|FILE.csv", help="take the spread of this closed study or table"
        )
        for name in SOURCES:
            parser.add_argument(f"--{name}-sd", type=float, metavar="POINTS", help=f"SD of the {name}")
        parser.add_argument("--runs", type=int, default=0, metavar="N", help="simulate so many studies")
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the simulation (default 0)")

    def handle(self, *, listeners, pieces, heard, conditions, difference, margin, runs, seed, **options):
        """Compute the plan, and say it."""
        from analysis.ratings.design import Components, StudySize
        from analysis.ratings.plan import describe_plan, plan_words

        spread = vars(spread_of(options["like"]) if options["like"] else Components())
        given = {name: options[f"{name}_sd"] for name in SOURCES if options[f"{name}_sd"] is not None}
        plan = describe_plan(
            Components(**{**spread, **given}),
            StudySize(listeners, pieces, heard, conditions),
            difference=difference,
            margin=margin,
            n_runs=runs,
            seed=seed,
        )
        self.finish(plan, *plan_words(plan))


def spread_of(source: str):
    """How ratings spread in a table, or in a study that is closed.

    Raises
    ------
    ListeningError
        If the study is open.
    AnalysisError
        If the table is wrong, or has no model.
    """
    from analysis.ratings.comparison import fit_conditions
    from analysis.ratings.design import Components
    from analysis.ratings.table import check_ratings, first_hearings, read_ratings

    if is_file(source):
        table = read_ratings(source)
    else:
        study = get_study(source)
        if study.state != Study.State.CLOSED:
            raise ListeningError(f"the study {study.slug!r} is not closed; plan with one that is")
        table = check_ratings(ratings_table(study, blind=True))
    return Components.of(fit_conditions(first_hearings(table[table["excluded"] == ""])))
