"""Which tasks, in which order, run by whom: config, plan, receipts, engines, stitch, view, command line."""
