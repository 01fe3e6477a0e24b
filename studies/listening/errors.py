"""What the listening app refuses."""


class ListeningError(Exception):
    """Base class of what `listening` refuses; the message names the value and what would be right."""


class SpecificationError(ListeningError):
    """A study file that does not hold: the message names the key, the value and what would be right."""


class StudyNotOpen(ListeningError):
    """The study takes no listeners or no more answers; the message says since when or why."""


class TooManyStarts(ListeningError):
    """More listeners began within a minute than a study takes."""


class AlreadyStarted(ListeningError):
    """Somebody with the recruiter's id has begun, and who asks now has not shown to be the same."""


class StaleStartKey(ListeningError):
    """A consent page whose key is forged, of another study, or too old."""


class ConsentChanged(ListeningError):
    """The text that was agreed to is not the one that the study now shows."""


class NotItsTurn(ListeningError):
    """An answer to a trial that the session has not reached."""


class NotHeardEnough(ListeningError):
    """A rating before enough of the piece was heard."""

    def __init__(self, seconds_left: float):
        super().__init__(f"please listen {max(1, round(seconds_left)):d} s more before rating")
        self.seconds_left = seconds_left


class WithdrawalOver(ListeningError):
    """A withdrawal after the days that the consent page promised; the message says whom to ask."""


class UnknownCode(ListeningError):
    """A withdrawal code that belongs to nobody in the study."""
