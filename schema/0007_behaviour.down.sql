DROP TABLE interlock.behavioural_event, interlock.behaviour_profile;
