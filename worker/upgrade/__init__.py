"""The upgrade room: what the release before stored is brought to the rules of this one, a batch at a time."""
