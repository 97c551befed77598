model                          KV B/token    windows      state  context  params
Llama-2-7B                        524,288          –          –       4K  6.74 B
Llama-3.1-8B                      131,072          –          –     128K  8.03 B
Llama-3.1-70B                     327,680          –          –     128K  70.6 B
Llama-3.1-405B                    516,096          –          –     128K   406 B
Llama-3.2-1B                       32,768          –          –     128K  1.24 B
Llama-3.2-11B-Vision              131,072          –          –     128K  10.7 B
Llama-4-Scout-17B-16E              49,152    1.1 GiB          –      10M   108 B
Llama-4-Maverick-17B-128E          49,152    1.1 GiB          –       1M   401 B
Llama-2-13B                       819,200          –          –       4K    13 B
Qwen2.5-1.5B                       28,672          –          –      32K  1.54 B
Qwen2.5-14B                       196,608          –          –      32K  14.8 B
Qwen3-1.7B                        114,688          –          –      40K  1.72 B
Qwen3-14B                         163,840          –          –      40K  14.8 B
Qwen3.5-122B-A10B                  24,576          –  146.5 MiB     256K   123 B
Qwen3.5-397B-A17B                  30,720          –  183.2 MiB     256K   397 B
Qwen1.5-7B                        524,288          –          –      32K  7.72 B
Qwen2-1.5B                         28,672          –          –     128K  1.54 B
Mixtral-8x7B-v0.1                 131,072          –          –      32K  46.7 B
Mixtral-8x22B-v0.1                229,376          –          –      64K   141 B
Mistral-Nemo-12B                  163,840          –          –     128K  12.2 B
Mistral-Large-2407                360,448          –          –     128K   123 B
Ministral-3-14B                   163,840          –          –     256K  13.5 B
Mistral-Small-4-119B               23,040          –          –       1M   119 B
Mistral-7B-v0.1                         0  512.0 MiB          –      32K  7.24 B
Ministral-8B-2410                 147,456          –          –      32K  8.02 B
Mistral-Small-3.2-24B             163,840          –          –     128K    24 B
Ministral-3-3B                    106,496          –          –     256K  3.85 B
Ministral-3-8B                    139,264          –          –     256K  8.92 B
gemma-3-1b                          4,096   11.0 MiB          –      32K  1000 M
gemma-3-12b                        65,536  320.0 MiB          –     128K  12.2 B
gemma-4-12B                        16,384  320.0 MiB          –     256K  11.9 B
gemma-4-31B                        81,920  800.0 MiB          –     256K  31.3 B
gemma-2B                           18,432          –          –       8K  2.51 B
Phi-3-medium-128k                 204,800          –          –     128K    14 B
phi-4                             204,800          –          –      16K  14.7 B
DeepSeek-V2-Lite                   31,104          –          –     160K  15.7 B
DeepSeek-V3                        70,272          –          –     160K   671 B
DeepSeek-R1-Distill-Qwen-1.5B      28,672          –          –     128K  1.78 B
DeepSeek-R1-Distill-Qwen-7B        57,344          –          –     128K  7.62 B
DeepSeek-R1-Distill-Qwen-14B      196,608          –          –     128K  14.8 B
DeepSeek-R1-Distill-Qwen-32B      262,144          –          –     128K  32.8 B
DeepSeek-R1-Distill-Llama-8B      131,072          –          –     128K  8.03 B
DeepSeek-R1-Distill-Llama-70B     327,680          –          –     128K  70.6 B
DeepSeek-R1-0528-Qwen3-8B         147,456          –          –     128K  8.19 B
GLM-5                              89,856          –          –     198K   744 B
GLM-4-9B-0414                      40,960          –          –      32K   9.4 B
gpt-oss-120b                       36,864    4.5 MiB          –     128K   117 B
MiniMax-M1                         40,960          –  140.0 MiB  10,000K   456 B
MiniMax-M2                        253,952          –          –     200K   229 B
Jamba-1.5-Mini                     16,384          –    8.3 MiB     256K  51.6 B
Jamba-1.5-Large                    36,864          –   37.4 MiB     256K   399 B
Nemotron-3-Nano-30B-A3B             6,144          –   46.8 MiB     256K  31.6 B
Nemotron-3-Super-120B-A12B          8,192          –  162.3 MiB     256K   121 B
Llama-3.3-Nemotron-Super-49B      200,704          –          –     128K  49.9 B
Falcon-H1-7B                       45,056          –   66.9 MiB     256K  7.59 B
LFM2-1.2B                          12,288          –   80.0 KiB     125K  1.17 B
OLMo-2-1124-7B                    524,288          –          –       4K   7.3 B
Falcon3-1B                         73,728          –          –       8K  1.67 B
Falcon-H1-0.5B                     18,432          –   13.9 MiB      16K   521 M
granite-4.0-1B                     81,920          –          –     128K  1.63 B
granite-4.0-micro                  81,920          –          –     128K   3.4 B
granite-4.1-8B                    163,840          –          –     128K  8.79 B
granite-4.1-30B                   262,144          –          –     128K  28.9 B
granite-4.0-h-tiny                  8,192          –   27.7 MiB     128K  6.94 B
LFM2-8B-A1B                        12,288          –  144.0 KiB     125K  8.34 B
OLMo-2-0425-1B                    131,072          –          –       4K  1.48 B
OLMo-2-1124-13B                   819,200          –          –       4K  13.7 B
SmolLM2-135M                       23,040          –          –       8K   135 M
SmolLM2-1.7B                      196,608          –          –       8K  1.71 B
c4ai-command-r-v01              1,310,720          –          –     128K    35 B
command-r-plus                    262,144          –          –     128K   104 B
c4ai-command-r7b-12-2024           32,768  384.0 MiB          –     129K  8.03 B
c4ai-command-a-03-2025             65,536  768.0 MiB          –     128K   111 B
Yi-6B                              65,536          –          –       4K  6.06 B
Yi-34B                            245,760          –          –       4K  34.4 B
starcoder2-15b                     81,920          –          –      16K    16 B
Yi-1.5-9B                          98,304          –          –       4K  8.83 B
Yi-1.5-34B                        245,760          –          –       4K  34.4 B
Hunyuan-A13B                      131,072          –          –     256K  80.4 B
EXAONE-4.0-1.2B                    61,440          –          –      64K  1.28 B
mamba-130M                              0          –    2.5 MiB        –   129 M
mamba-1.4B                              0          –   13.1 MiB        –  1.37 B
TinyLlama-1.1B                     22,528          –          –       2K   1.1 B
SOLAR-10.7B                       196,608          –          –       4K  10.7 B
stablelm-2-1.6B                   196,608          –          –       4K  1.64 B
Bielik-11B-v3.0                   204,800          –          –      32K  11.2 B
dots.llm1                       1,015,808          –          –      32K   143 B
