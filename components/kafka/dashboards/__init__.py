"""The dashboards of Kafka: each a module, and the JSON that `make_dashboards` writes from it."""
