/* xol-step with 2 slots, 2 passes and 2 rounds, written for SPIN by hand: program counters are locations and what only
   its own thread touches is local, so that the partial-order reduction finds something to reduce; `rechecking` counts
   the threads that hold the lock. Invariants are assertions where they can break. As many states as the generated text.
   spin -DN=4 -o3 -a xol_step.pml  (-o3: no merging of steps) */
#define K 2
#define M 2
#define R 2

bit int3, registered, armed_since[N];
byte slot[K], rechecking;

active [N] proctype thread() {
  byte passes, mine; bit deferred;
endAT:
  if
  :: d_step { passes < M && int3 -> armed_since[_pid] = 1 } goto TRAP
  :: d_step { passes < M && !int3 -> passes++ } goto endAT
  fi;
TRAP:
  if
  :: registered -> goto endWAIT
  :: d_step { !registered -> rechecking++; assert(!armed_since[_pid]) } goto RECHECK
  fi;
RECHECK:
  if
  :: d_step { !int3 -> armed_since[_pid] = 0; rechecking-- } goto endAT
  :: d_step { int3 -> assert(false) } goto endAT
  fi;
endWAIT:
  if
  :: d_step { slot[0] == 0 -> slot[0] = _pid + 1; mine = 0 } goto SLOT
  :: d_step { slot[0] != 0 && slot[1] == 0 -> slot[1] = _pid + 1; mine = 1 } goto SLOT
  fi;
SLOT:
  if
  :: true -> goto STEPPED
  :: d_step { !deferred -> deferred = 1 } goto SLOT
  fi;
STEPPED:
  if
  :: d_step { !deferred -> assert(slot[mine] == _pid + 1); slot[mine] = 0; mine = 0; armed_since[_pid] = 0; passes++ } goto endAT
  :: d_step { deferred -> assert(slot[mine] == _pid + 1); slot[mine] = 0; mine = 0; armed_since[_pid] = 0; passes++ } goto SIGNAL
  fi;
SIGNAL:
  if
  :: d_step { deferred -> deferred = 0 } goto endAT
  fi
}

active proctype prober() {
  byte rounds, i;
end:
  do
  :: d_step { rounds < R -> registered = 1 };
    d_step { rechecking == 0 -> int3 = 1 };
    d_step {
      rechecking == 0 -> int3 = 0;
      i = 0;
      do :: i < N -> armed_since[i] = 0; i++ :: i == N -> break od;
      i = 0
    };
    d_step { registered = 0; rounds++ }
  od
}
