"""The routes of the gateway, a blueprint per concern."""
