"""The same operations in C++: one library for each instruction set, chosen when first asked."""
