"""Red flags: known failure patterns of a configuration, of traces and of a bundle, each with why it hurts and a fix."""
