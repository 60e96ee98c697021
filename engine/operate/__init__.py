"""What operators see and steer: control socket, health, views, notices."""
