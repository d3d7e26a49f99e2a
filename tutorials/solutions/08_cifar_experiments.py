"""Solutions of 08."""


def my_l2_step(w, dw, lr, weight_decay):
    return w - lr * (dw + weight_decay * w)
