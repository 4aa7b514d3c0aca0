"""Everything on the command line that is no stage. Only here is a `Context` known."""
