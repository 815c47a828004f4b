"""Long runs of real gateways under kill -9."""
