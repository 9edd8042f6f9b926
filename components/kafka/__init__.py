"""Kafka: messages between agents, in KRaft mode or external."""
