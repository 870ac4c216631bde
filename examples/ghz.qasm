// A GHZ state of eight qubits: all zeros and all ones, one half each.
OPENQASM 3.0;
include "stdgates.inc";
qubit[8] q;
bit[8] c;
h q[0];
for int k in [0:6] { cx q[k], q[k + 1]; }
c = measure q;
