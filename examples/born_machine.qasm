// A Born machine on four qubits with two layers and one entangler a pair; theta is bound when it is run.
OPENQASM 3.0;
include "stdgates.inc";
gate rxx(t) a, b { h a; h b; cx a, b; rz(t) b; cx a, b; h a; h b; }
const int n = 4;
const int width = 14;
input array[float[64], 28] theta;
qubit[n] q;
bit[n] c;
for int layer in [0:1] {
  for int k in [0:n - 1] {
    rx(theta[width*layer + 2*k]) q[k];
    rz(theta[width*layer + 2*k + 1]) q[k];
  }
  rxx(theta[width*layer + 8]) q[0], q[1];
  rxx(theta[width*layer + 9]) q[0], q[2];
  rxx(theta[width*layer + 10]) q[0], q[3];
  rxx(theta[width*layer + 11]) q[1], q[2];
  rxx(theta[width*layer + 12]) q[1], q[3];
  rxx(theta[width*layer + 13]) q[2], q[3];
}
c = measure q;
