"""Actions on clients: of a gateway, of a load balancer."""
