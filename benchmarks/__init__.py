"""What is measured, and how: the speed claims of minicnn come out of these scripts."""
