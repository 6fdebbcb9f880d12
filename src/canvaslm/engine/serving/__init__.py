"""One engine for many requests: fibers that wait in line for passes of the network."""
