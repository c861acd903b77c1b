"""``python -m connectors.shopify.simulator``: serve the Admin API of a simulated shop."""

from connectors.shopify.simulator.admin import main

main()
