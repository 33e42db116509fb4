// The switch that ends at the covalent distance of two atoms: src/student/switch.rs.
#pragma once

// 1 − s(x) = x³ (10 − 15x + 6x²) and its derivative; 1 and 0 from x = 1 on.
__device__ inline void rise_of_switch(double x, double& rise, double& slope) {
    x = x >= 1.0 ? 1.0 : x;  // what is not a number stays so
    rise = x * x * x * (10.0 - 15.0 * x + 6.0 * x * x);
    slope = 30.0 * x * x * (1.0 - x) * (1.0 - x);
}
