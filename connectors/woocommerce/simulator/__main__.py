"""``python -m connectors.woocommerce.simulator``: serve REST v3 of a simulated shop."""

from connectors.woocommerce.simulator.site import main

main()
