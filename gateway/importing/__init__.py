"""Other gateways' configurations, read into ours: `litellm`."""
