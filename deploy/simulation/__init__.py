"""Two datacenters on one machine: real servers on private loopback ports, and a TCP relay as the WAN between them."""
