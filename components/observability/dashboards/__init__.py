"""The dashboards of the platform as a whole: each a module, and the JSON that `make_dashboards` writes from it."""
