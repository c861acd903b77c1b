"""A simulated WooCommerce shop: webhooks, and REST v3 over HTTP, with invented customers only."""
