"""The executor's stub, instruction by instruction: request loop, state load, state save, signal handler.

Decides nothing about instructions under test; it loads a record, enters the code by iretq (which also serialises after
new code was written, SDM vol. 3, 8.3, and lets a TF of the program trap behind exactly one instruction), and stores
what it finds at the exit or in the signal frame.  It runs with no stack of its own but the control block's, uses no
thread-local storage, and never returns to its caller.
"""

from typing import Final

from verify.live.executor.records import IN_OFFSETS, IN_XSAVE, OUT_OFFSETS, OUT_XSAVE

# Offsets in struct ucontext of the general registers, in the order rax rcx rdx rbx rsp rbp rsi rdi r8..r15
# (Linux 6.18, arch/x86/include/uapi/asm/sigcontext.h: the machine context begins 40 bytes into the structure)
CONTEXT_GPRS: Final = (144, 152, 136, 128, 160, 120, 112, 104, 40, 48, 56, 64, 72, 80, 88, 96)

_REQUEST: Final = """
entry:
b8 9e 00 00 00              ; mov eax, 158                arch_prctl
bf 01 10 00 00              ; mov edi, 0x1001             ARCH_SET_GS
31 f6                       ; xor esi, esi
0f 05                       ; syscall
b8 9e 00 00 00              ; mov eax, 158
bf 02 10 00 00              ; mov edi, 0x1002             ARCH_SET_FS
31 f6                       ; xor esi, esi
0f 05                       ; syscall
48 8d 1d {unmap}            ; lea rbx, [unmap]
unmap_next:
48 8b 73 08                 ; mov rsi, [rbx+8]            size
48 85 f6                    ; test rsi, rsi
0f 84 {respond}             ; jz respond
48 8b 3b                    ; mov rdi, [rbx]              start
b8 0b 00 00 00              ; mov eax, 11                 munmap
0f 05                       ; syscall
48 83 c3 10                 ; add rbx, 16
e9 {unmap_next}             ; jmp unmap_next
serve:
48 8d 25 {stack_top}        ; lea rsp, [stack_top]
31 c0                       ; xor eax, eax                read
8b 3d {request_fd}          ; mov edi, [request_fd]
48 8d 35 {message}          ; lea rsi, [message]
ba 01 00 00 00              ; mov edx, 1
0f 05                       ; syscall
48 83 f8 01                 ; cmp rax, 1
0f 85 {quit}                ; jne quit
c6 05 {active} 01           ; mov byte [active], 1
"""

_LOAD: Final = """
next:
4c 8b 35 {in_record}        ; mov r14, [in_record]
f6 05 {flags} 20            ; test byte [flags], LOAD_CODE
0f 84 {code_loaded}         ; jz code_loaded
48 8b 3d {code_alias}       ; mov rdi, [code_alias]
41 0f 10 86 <in_slot>       ; movups xmm0, [r14+slot]
0f 11 07                    ; movups [rdi], xmm0
41 0f 10 86 <in_slot_high>  ; movups xmm0, [r14+slot+16]
0f 11 47 10                 ; movups [rdi+16], xmm0
code_loaded:
f6 05 {flags} 08            ; test byte [flags], LOAD_MEMORY
0f 84 {memory_loaded}       ; jz memory_loaded
4c 8b 25 {log_in}           ; mov r12, [log_in]
chunk_in:
4c 3b 25 {log_in_end}       ; cmp r12, [log_in_end]
0f 83 {chunks_in}           ; jae chunks_in
49 8b 04 24                 ; mov rax, [r12]              trial
48 3b 05 {index}            ; cmp rax, [index]
0f 85 {chunks_in}           ; jne chunks_in
49 8b 7c 24 08              ; mov rdi, [r12+8]            address
49 8d 74 24 10              ; lea rsi, [r12+16]
b9 08 00 00 00              ; mov ecx, 8
f3 48 a5                    ; rep movsq
49 83 c4 50                 ; add r12, 80
e9 {chunk_in}               ; jmp chunk_in
chunks_in:
4c 89 25 {log_in}           ; mov [log_in], r12
memory_loaded:
f6 05 {flags} 01            ; test byte [flags], LOAD_XSTATE
0f 84 {xstate_loaded}       ; jz xstate_loaded
8b 05 {xmask_low}           ; mov eax, [xmask_low]
8b 15 {xmask_high}          ; mov edx, [xmask_high]
49 0f ae ae <in_xsave>      ; xrstor64 [r14+xsave]
xstate_loaded:
f6 05 {flags} 04            ; test byte [flags], BASES
0f 84 {bases_loaded}        ; jz bases_loaded
49 8b 86 <in_fs_base>       ; mov rax, [r14+fs_base]
f3 48 0f ae d0              ; wrfsbase rax
49 8b 86 <in_gs_base>       ; mov rax, [r14+gs_base]
f3 48 0f ae d8              ; wrgsbase rax
bases_loaded:
f6 05 {flags} 40            ; test byte [flags], KEYS
0f 84 {keys_loaded}         ; jz keys_loaded
41 8b 86 <in_pkru>          ; mov eax, [r14+pkru]
31 c9                       ; xor ecx, ecx
31 d2                       ; xor edx, edx
0f 01 ef                    ; wrpkru
keys_loaded:
49 8b 86 <in_rflags>        ; mov rax, [r14+rflags]
48 89 05 {iret_rflags}      ; mov [iret_rflags], rax
49 8b 46 20                 ; mov rax, [r14+32]           rsp
48 89 05 {iret_rsp}         ; mov [iret_rsp], rax
48 8d 25 {iret_rip}         ; lea rsp, [iret_rip]
49 8b 06                    ; mov rax, [r14]
49 8b 4e 08                 ; mov rcx, [r14+8]
49 8b 56 10                 ; mov rdx, [r14+16]
49 8b 5e 18                 ; mov rbx, [r14+24]
49 8b 6e 28                 ; mov rbp, [r14+40]
49 8b 76 30                 ; mov rsi, [r14+48]
49 8b 7e 38                 ; mov rdi, [r14+56]
4d 8b 46 40                 ; mov r8, [r14+64]
4d 8b 4e 48                 ; mov r9, [r14+72]
4d 8b 56 50                 ; mov r10, [r14+80]
4d 8b 5e 58                 ; mov r11, [r14+88]
4d 8b 66 60                 ; mov r12, [r14+96]
4d 8b 6e 68                 ; mov r13, [r14+104]
4d 8b 7e 78                 ; mov r15, [r14+120]
4d 8b 76 70                 ; mov r14, [r14+112]
48 cf                       ; iretq
"""

_SAVE: Final = """
exit:
48 89 25 {save_rsp}         ; mov [save_rsp], rsp
48 8b 25 {push_at}          ; mov rsp, [push_at]
9c                          ; pushfq
41 57                       ; push r15
41 56                       ; push r14
41 55                       ; push r13
41 54                       ; push r12
41 53                       ; push r11
41 52                       ; push r10
41 51                       ; push r9
41 50                       ; push r8
57                          ; push rdi
56                          ; push rsi
55                          ; push rbp
ff 35 {save_rsp}            ; push qword [save_rsp]
53                          ; push rbx
52                          ; push rdx
51                          ; push rcx
50                          ; push rax
48 8d 25 {stack_top}        ; lea rsp, [stack_top]
4c 8b 3d {out_record}       ; mov r15, [out_record]
41 8c 8f <out_cs>           ; mov [r15+cs], cs
41 8c 97 <out_ss>           ; mov [r15+ss], ss
49 f7 87 <out_rflags> 00 44 04 00 ; test qword [r15+rflags], 0x44400   DF, NT, AC
0f 84 {flags_clean}         ; jz flags_clean
6a 02                       ; push 2
9d                          ; popfq
flags_clean:
49 c7 87 <out_signal> 00 00 00 00 ; mov qword [r15+signal], 0
f6 05 {flags} 02            ; test byte [flags], SAVE_XSTATE
0f 84 {saved}               ; jz saved
8b 05 {xmask_low}           ; mov eax, [xmask_low]
8b 15 {xmask_high}          ; mov edx, [xmask_high]
49 0f ae a7 <out_xsave>     ; xsave64 [r15+xsave]
41 d9 b7 <out_environment>  ; fnstenv [r15+environment]   behind xsave, because it masks all exceptions
f6 05 {flags} 40            ; test byte [flags], KEYS
0f 84 {saved}               ; jz saved
31 c9                       ; xor ecx, ecx
0f 01 ee                    ; rdpkru
41 89 87 <out_pkru>         ; mov [r15+pkru], eax
saved:
f6 05 {flags} 04            ; test byte [flags], BASES
0f 84 {bases_saved}         ; jz bases_saved
f3 48 0f ae c0              ; rdfsbase rax
49 89 87 <out_fs_base>      ; mov [r15+fs_base], rax
f3 48 0f ae c8              ; rdgsbase rax
49 89 87 <out_gs_base>      ; mov [r15+gs_base], rax
bases_saved:
41 8c 87 <out_es>           ; mov [r15+es], es
41 8c 9f <out_ds>           ; mov [r15+ds], ds
41 8c a7 <out_fs>           ; mov [r15+fs], fs
41 8c af <out_gs>           ; mov [r15+gs], gs
49 83 bf <out_es> 00        ; cmp qword [r15+es], 0       all four are null selectors in every 64-bit program
0f 84 {selectors_clean}     ; je selectors_clean
31 c0                       ; xor eax, eax
8e c0                       ; mov es, eax
8e d8                       ; mov ds, eax
8e e0                       ; mov fs, eax
8e e8                       ; mov gs, eax
selectors_clean:
f6 05 {flags} 10            ; test byte [flags], COMPARE_MEMORY
0f 84 {advance}             ; jz advance
"""

_REGION: Final = """
48 8d 1d {regions}          ; lea rbx, [regions]
region_next:
48 8b 33                    ; mov rsi, [rbx]              end of live memory
48 85 f6                    ; test rsi, rsi
0f 84 {compared}            ; jz compared
48 8b 7b 08                 ; mov rdi, [rbx+8]            end of its background
48 8b 4b 10                 ; mov rcx, [rbx+16]           minus its size
"""

_CHUNK_SSE2: Final = """
chunk:
66 0f 6f 04 0e              ; movdqa xmm0, [rsi+rcx]
66 0f 6f 4c 0e 10           ; movdqa xmm1, [rsi+rcx+16]
66 0f 6f 54 0e 20           ; movdqa xmm2, [rsi+rcx+32]
66 0f 6f 5c 0e 30           ; movdqa xmm3, [rsi+rcx+48]
66 0f 74 04 0f              ; pcmpeqb xmm0, [rdi+rcx]
66 0f 74 4c 0f 10           ; pcmpeqb xmm1, [rdi+rcx+16]
66 0f 74 54 0f 20           ; pcmpeqb xmm2, [rdi+rcx+32]
66 0f 74 5c 0f 30           ; pcmpeqb xmm3, [rdi+rcx+48]
66 0f db c1                 ; pand xmm0, xmm1
66 0f db d3                 ; pand xmm2, xmm3
66 0f db c2                 ; pand xmm0, xmm2
66 0f d7 c0                 ; pmovmskb eax, xmm0
3d ff ff 00 00              ; cmp eax, 0xffff
0f 85 {differs}             ; jne differs
"""

_CHUNK_AVX2: Final = """
chunk:
c5 fd 6f 04 0e              ; vmovdqa ymm0, [rsi+rcx]
c5 fd 6f 4c 0e 20           ; vmovdqa ymm1, [rsi+rcx+32]
c5 fd 74 04 0f              ; vpcmpeqb ymm0, ymm0, [rdi+rcx]
c5 f5 74 4c 0f 20           ; vpcmpeqb ymm1, ymm1, [rdi+rcx+32]
c5 fd db c1                 ; vpand ymm0, ymm0, ymm1
c5 fd d7 c0                 ; vpmovmskb eax, ymm0
ff c0                       ; inc eax
0f 85 {differs}             ; jnz differs
"""

_DIFFERS: Final = """
chunk_done:
48 83 c1 40                 ; add rcx, 64
0f 85 {chunk}               ; jnz chunk
48 83 c3 18                 ; add rbx, 24
e9 {region_next}            ; jmp region_next
differs:
4c 8d 04 0e                 ; lea r8, [rsi+rcx]
4c 8d 0c 0f                 ; lea r9, [rdi+rcx]
4c 8b 25 {log_out}          ; mov r12, [log_out]
48 8b 05 {index}            ; mov rax, [index]
49 89 04 24                 ; mov [r12], rax
4d 89 44 24 08              ; mov [r12+8], r8
41 0f 28 00                 ; movaps xmm0, [r8]
41 0f 28 48 10              ; movaps xmm1, [r8+16]
41 0f 28 50 20              ; movaps xmm2, [r8+32]
41 0f 28 58 30              ; movaps xmm3, [r8+48]
41 0f 29 44 24 10           ; movaps [r12+16], xmm0
41 0f 29 4c 24 20           ; movaps [r12+32], xmm1
41 0f 29 54 24 30           ; movaps [r12+48], xmm2
41 0f 29 5c 24 40           ; movaps [r12+64], xmm3
41 0f 28 01                 ; movaps xmm0, [r9]           back to the background
41 0f 28 49 10              ; movaps xmm1, [r9+16]
41 0f 28 51 20              ; movaps xmm2, [r9+32]
41 0f 28 59 30              ; movaps xmm3, [r9+48]
41 0f 29 00                 ; movaps [r8], xmm0
41 0f 29 48 10              ; movaps [r8+16], xmm1
41 0f 29 50 20              ; movaps [r8+32], xmm2
41 0f 29 58 30              ; movaps [r8+48], xmm3
49 83 c4 50                 ; add r12, 80
4c 89 25 {log_out}          ; mov [log_out], r12
e9 {chunk_done}             ; jmp chunk_done
compared:
"""

_ADVANCE: Final = """
advance:
48 8b 05 {in_stride}        ; mov rax, [in_stride]
48 01 05 {in_record}        ; add [in_record], rax
48 8b 05 {out_stride}       ; mov rax, [out_stride]
48 01 05 {out_record}       ; add [out_record], rax
48 01 05 {push_at}          ; add [push_at], rax
48 ff 05 {index}            ; inc qword [index]
48 8b 05 {index}            ; mov rax, [index]
48 3b 05 {count}            ; cmp rax, [count]
0f 83 {respond}             ; jae respond
48 8b 05 {log_out}          ; mov rax, [log_out]
48 3b 05 {log_out_end}      ; cmp rax, [log_out_end]      room for one more trial's chunks is kept behind it
0f 82 {next}                ; jb next
respond:
c6 05 {active} 00           ; mov byte [active], 0
b8 01 00 00 00              ; mov eax, 1                  write
8b 3d {response_fd}         ; mov edi, [response_fd]
48 8d 35 {answer}           ; lea rsi, [answer]
ba 01 00 00 00              ; mov edx, 1
0f 05                       ; syscall
e9 {serve}                  ; jmp serve
quit:
31 ff                       ; xor edi, edi
leave:
b8 e7 00 00 00              ; mov eax, 231                exit_group
0f 05                       ; syscall
"""

_HANDLER: Final = """
handler:
83 ff 1a                    ; cmp edi, 26                 SIGVTALRM
0f 84 {tick}                ; je tick
8d 87 80 00 00 00           ; lea eax, [rdi+128]
80 3d {active} 00           ; cmp byte [active], 0
97                          ; xchg eax, edi
0f 84 {leave}               ; je leave                    a fault of the stub itself
97                          ; xchg eax, edi
deliver:
4c 8b 3d {out_record}       ; mov r15, [out_record]
41 89 bf <out_signal>       ; mov [r15+signal], edi
8b 46 08                    ; mov eax, [rsi+8]            si_code
41 89 87 <out_si_code>      ; mov [r15+si_code], eax
48 8b 46 10                 ; mov rax, [rsi+16]           si_addr
49 89 87 <out_si_addr>      ; mov [r15+si_addr], rax
48 8b 82 a8 00 00 00        ; mov rax, [rdx+168]          rip
49 89 87 <out_ip>           ; mov [r15+ip], rax
48 8b 82 b0 00 00 00        ; mov rax, [rdx+176]          eflags
49 89 87 <out_rflags>       ; mov [r15+rflags], rax
48 8b 82 b8 00 00 00        ; mov rax, [rdx+184]          cs gs fs ss
66 41 89 87 <out_cs>        ; mov [r15+cs], ax
48 c1 e8 30                 ; shr rax, 48
66 41 89 87 <out_ss>        ; mov [r15+ss], ax
48 8b 82 c0 00 00 00        ; mov rax, [rdx+192]          err
49 89 87 <out_error_code>   ; mov [r15+error_code], rax
8b 82 c8 00 00 00           ; mov eax, [rdx+200]          trapno
41 89 87 <out_trapno>       ; mov [r15+trapno], eax
48 8b 82 d8 00 00 00        ; mov rax, [rdx+216]          cr2
49 89 87 <out_cr2>          ; mov [r15+cr2], rax
"""

_HANDLER_END: Final = """
f6 05 {flags} 02            ; test byte [flags], SAVE_XSTATE
0f 84 {handled}             ; jz handled
48 8b b2 e0 00 00 00        ; mov rsi, [rdx+224]          fpstate
49 8d bf <out_xsave>        ; lea rdi, [r15+xsave]
48 8b 0d {xsave_quads}      ; mov rcx, [xsave_quads]
f3 48 a5                    ; rep movsq
handled:
48 8d 25 {stack_top}        ; lea rsp, [stack_top]
6a 02                       ; push 2
9d                          ; popfq
e9 {saved}                  ; jmp saved                   no sigreturn: the mask is unchanged (SA_NODEFER)
tick:
80 3d {active} 00           ; cmp byte [active], 0
0f 84 {sigreturn}           ; je sigreturn
48 8b 05 {index}            ; mov rax, [index]
48 87 05 {tick_index}       ; xchg [tick_index], rax
48 3b 05 {index}            ; cmp rax, [index]
0f 84 {deliver}             ; je deliver                  no progress between two ticks: hung
sigreturn:
48 83 c4 08                 ; add rsp, 8                  the return address
b8 0f 00 00 00              ; mov eax, 15                 rt_sigreturn
0f 05                       ; syscall
"""


def _context_rows() -> str:
    """Copies of the general registers from the signal frame (rdx) to the output record (r15)."""
    return "\n".join(
        f"48 8b 82 {_disp32(source)}\n49 89 87 {_disp32(8 * i)} ; gprs[{i}]" for i, source in enumerate(CONTEXT_GPRS)
    )


def _disp32(value: int) -> str:
    return value.to_bytes(4, "little").hex(" ")


def table(avx2: bool) -> str:
    """The whole stub; `avx2` chooses how memory is compared, not what is compared."""
    chunk = _CHUNK_AVX2 if avx2 else _CHUNK_SSE2
    parts = (_REQUEST, _LOAD, _SAVE, _REGION, chunk, _DIFFERS, _ADVANCE, _HANDLER, _context_rows(), _HANDLER_END)
    return "\n".join(parts)


CONSTANTS: Final = {
    **{f"in_{name}": offset for name, offset in IN_OFFSETS.items()},
    **{f"out_{name}": offset for name, offset in OUT_OFFSETS.items()},
    **{f"out_{name}": OUT_OFFSETS["selectors"] + 2 * i for i, name in enumerate(("es", "ds", "fs", "gs"))},
    "out_cs": OUT_OFFSETS["code_stack"],
    "out_ss": OUT_OFFSETS["code_stack"] + 2,
    "in_slot_high": IN_OFFSETS["slot"] + 16,
    "in_xsave": IN_XSAVE,
    "out_xsave": OUT_XSAVE,
}
