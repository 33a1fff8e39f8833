"""Routes by area; each module has a `router` that `app.create_app` includes."""
