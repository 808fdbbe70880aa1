"""Walking through a world in the browser: held keys, sessions, and the local server with its one page."""
