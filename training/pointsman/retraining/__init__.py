"""The second run: what changed, has it drifted, is the challenger better, may it take the champion's place."""
