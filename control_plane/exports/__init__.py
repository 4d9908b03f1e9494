"""Files of delivery records: asked for, written in the background, taken once logged in, removed."""
