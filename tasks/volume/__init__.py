"""Where data is: geometry, grids, layers, small objects, limits, errors."""
