"""MQTT and the durable queue."""
