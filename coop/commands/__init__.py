"""The commands of `coop`, one module each; its `command` is what coop.cli calls."""
