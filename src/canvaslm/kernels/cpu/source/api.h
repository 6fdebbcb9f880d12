// What Python calls: C functions, plain pointers, nothing of torch.
#pragma once
#define CANVASLM_API extern "C" __attribute__((visibility("default")))
