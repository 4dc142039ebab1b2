"""Functions in C++ that nets run on the CPU where there is a compiler."""
