"""A simulated Shopify shop: webhooks, and an Admin API over HTTP, with invented customers only."""
