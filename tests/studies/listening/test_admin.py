"""The admin of the listening tables: what was heard at which place stays unknown while a study is blind."""

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from studies.listening.models import Study
from tests.studies.factories import begin, make_study

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("is_blind", [True, False])
def test_the_label_of_a_place_is_shown_once_the_study_is_unblinded(client, is_blind):
    study = make_study(pieces=2, trials=5)
    trial = begin(study).trials.filter(kind="main").first()
    if not is_blind:
        Study.objects.update(state="closed", unblinded_at=timezone.now())
    client.force_login(get_user_model().objects.create_superuser("root", password="root"))
    addresses = [
        reverse("admin:listening_trial_changelist"),
        reverse("admin:listening_trial_change", args=[trial.pk]),
    ]
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200
        assert (str(trial.item) in response.content.decode()) is not is_blind
    for query in (f"?item__label={trial.item.label}", f"?item__id={trial.item_id}"):
        assert client.get(addresses[0] + query).status_code in (302, 400)
