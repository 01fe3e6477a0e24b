"""Addresses of a study, as listeners see them: one for all screens, and one for each thing a page sends."""

from django.urls import path

from studies.listening import views

app_name = "listening"
urlpatterns = [
    path("<slug:slug>/", views.show_study, name="study"),
    path("<slug:slug>/consent/", views.answer_consent, name="consent"),
    path("<slug:slug>/thank-you/", views.show_declined, name="declined"),
    path("<slug:slug>/sound-check/", views.answer_sound_check, name="sound_check"),
    path("<slug:slug>/sound-check/sound/", views.play_test_sound, name="test_sound"),
    path("<slug:slug>/background/", views.answer_background, name="background"),
    path("<slug:slug>/trials/<slug:public_id>/sound/", views.play_trial, name="audio"),
    path("<slug:slug>/trials/<slug:public_id>/rating/", views.rate_trial, name="rating"),
    path("<slug:slug>/trials/<slug:public_id>/judgement/", views.judge_trial, name="judgement"),
    path("<slug:slug>/trials/<slug:public_id>/skip/", views.skip_trial, name="skip"),
    path("<slug:slug>/comment/", views.answer_comment, name="comment"),
    path("<slug:slug>/events/", views.note_events, name="events"),
    path("<slug:slug>/withdraw/", views.withdraw, name="withdraw"),
]
