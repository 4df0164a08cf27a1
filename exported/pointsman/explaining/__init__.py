"""Why a request goes where it goes, at length: for people who look at one prompt. Slim side."""
