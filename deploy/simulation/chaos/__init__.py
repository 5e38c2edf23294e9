"""The fault matrix: every component, every fault, every load, on real processes; every invariant checked in each cell.

limits    what a scaled world promises             world     the two datacenters, every connection behind a relay
faults    what is done to whom                     clocks    a wall clock of its own for a process
writers   dense versions, one writer per row       observer  when each version was committed, and seen on the replica
readers   every read timed, counted and judged     symptoms  who notices, and who recovers
stamps    stream B against the writers' history    cell      one cell, from quiet to quiet
results   what it measured, and the invariants     report    the table
mass      hundreds of millions of reads            reader    the process that makes them; tally  what is kept of them
"""
