"""Acting: intents to verified outcomes and leases, within the guards."""
