// The switch that ends at the covalent distance of two atoms: src/student/switch.rs.
#pragma once

// 1 − s(x) = x³ (10 − 15x + 6x²) and its derivative; 1 and 0 from x = 1 on.
template <class Number>
__device__ inline void rise_of_switch(Number x, Number& rise, Number& slope) {
    constexpr Number one = 1;
    x = x >= one ? one : x;  // what is not a number stays so
    rise = x * x * x * (Number(10) - Number(15) * x + Number(6) * x * x);
    slope = Number(30) * x * x * (one - x) * (one - x);
}
