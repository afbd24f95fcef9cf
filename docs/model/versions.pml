/*
 * Versions of a sealed record (DESIGN section 8, enclave/state/records.ts): store, then claim, then release. Two enclaves
 * of one image update one record; the host stops them at any step, keeps every record that was ever stored and hands
 * back whichever it likes; messages to anchors are lost before or after they take effect, delayed, doubled and replayed.
 *
 * An answer is computed from the version before and leaves when its own version is claimed. What must hold:
 *   - no two answers come from one version: a forked copy stops at its first answer
 *   - no restore of a version older than one from which an answer has left
 *   - when all is calm, the newest claimed version can be restored, and the next one written
 *
 * Bounds (-D): ANCHORS QUORUM VERSIONS (how many there can be) RECORDS (how many are ever stored) FAULTS, COLLUDING as in
 * tickets.pml. Rules that can be taken out, each of which must then fail:
 *   RESTORE_WITHOUT_VERSION   what the host hands back is taken
 *   RELEASE_BEFORE_QUORUM     the answer leaves when the first anchor holds its version
 *   NO_CONDITIONAL_WRITE      an anchor's entry can be overwritten
 *   HALF_CLAIMED_IGNORED      a version that not every anchor holds is passed over at a restore, and overwritten
 *   CLAIM_BEFORE_STORE        the version is claimed before the host has the record
 *   CONFLICT_PASSED_OVER      a version at which anchors show different records is passed over, although one of them may
 *                             have been held before a colluding owner showed another
 */
#ifndef ANCHORS
#define ANCHORS 2
#endif
#ifndef QUORUM
#define QUORUM ANCHORS
#endif
#ifndef VERSIONS
#define VERSIONS 3
#endif
#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef STEPS
#define STEPS 5
#endif
#ifndef COLLUDING
#define COLLUDING 0
#endif

#define LOST 255
#define AT(a, v) ((a) * (VERSIONS + 1) + (v))
#if ANCHORS == 2
#define HOLDS_EVERYWHERE(r, v) (holder[AT(0, v)] == (r) && holder[AT(1, v)] == (r))
#else
#define HOLDS_EVERYWHERE(r, v) (holder[AT(0, v)] == (r) && holder[AT(1, v)] == (r) && holder[AT(2, v)] == (r))
#endif
#define COLLUDES(a) ((COLLUDING >> (a)) & 1)

/* Record 0 is the empty beginning, version 0. Others are numbered as they are made. */
byte holder[ANCHORS * (VERSIONS + 1)]; /* record at version v; 0: none */
bool sent[ANCHORS * (RECORDS + 1)];    /* claims for this record that the host has seen */
byte version[RECORDS + 1];
byte parent[RECORDS + 1];
bool stored[RECORDS + 1];
bool answeredFrom[RECORDS + 1];
byte made = 0;
byte released = 0; /* the newest version of which an answer has left */
byte faults = FAULTS;
byte steps = STEPS;
byte running = 0;

inline write(a, r) {
#ifdef NO_CONDITIONAL_WRITE
  holder[AT(a, version[r])] = r
#else
  if
  :: holder[AT(a, version[r])] == 0 -> holder[AT(a, version[r])] = r
  :: else
  fi
#endif
}

inline claim(a, r, seen) {
  atomic {
    sent[(a) * (RECORDS + 1) + r] = true;
    if
    :: COLLUDES(a) ->
       if
       :: seen = r
       :: select(seen : 1 .. RECORDS); 
          if
          :: sent[(a) * (RECORDS + 1) + seen] && version[seen] == version[r]
          :: else -> seen = r
          fi
       fi
    :: !COLLUDES(a) -> write(a, r); seen = holder[AT(a, version[r])]
    :: !COLLUDES(a) && faults > 0 -> faults--; write(a, r); seen = LOST
    :: !COLLUDES(a) && faults > 0 -> faults--; seen = LOST
    fi
  }
}

inline look(a, v, seen) {
  atomic {
    if
    :: COLLUDES(a) ->
       if
       :: seen = 0
       :: select(seen : 1 .. RECORDS);
          if
          :: sent[(a) * (RECORDS + 1) + seen] && version[seen] == v
          :: else -> seen = 0
          fi
       fi
    :: !COLLUDES(a) -> seen = holder[AT(a, v)]
    :: !COLLUDES(a) && faults > 0 -> faults--; seen = LOST
    fi
  }
}

/* Claims record r's version everywhere. `mine` anchors hold it afterwards, `others` another one. */
inline claimAll(r) {
  mine = 0; others = 0; a = 0;
  do
  :: a < ANCHORS && (QUORUM < ANCHORS || others == 0) ->
     claim(a, r, seen);
     if
     :: seen == r -> mine++
     :: seen == LOST -> 
        if
        :: QUORUM == ANCHORS -> break /* in order: the next anchor only when this one holds */
        :: else
        fi
     :: else -> others++
     fi;
#ifdef RELEASE_BEFORE_QUORUM
     if
     :: mine > 0 -> mine = QUORUM; break
     :: else
     fi;
#endif
     a++
  :: else -> break
  od
}

inline release(r) {
  atomic {
    assert(!answeredFrom[parent[r]]); /* no two answers from one version */
    answeredFrom[parent[r]] = true;
    if
    :: version[r] > released -> released = version[r]
    :: else
    fi
  }
}

/*
 * Sets `memory` to the newest claimed record, or leaves it unknown (LOST), and `top` to the newest version at which there
 * is anything. A version that was only begun is completed first: each record found at it is claimed at the other anchors,
 * in the anchors' order. Where every anchor has answered and none of them can reach the quorum, it is nobody's for ever and
 * is passed over.
 */
inline restore() {
  before = released; memory = LOST; top = 0;
#ifdef RESTORE_WITHOUT_VERSION
  memory = 0;
  do
  :: v < made -> v++;
     if
     :: stored[v] -> memory = v; top = version[v]; break
     :: skip
     fi
  :: break
  od;
#else
  v = VERSIONS;
  do
  :: v == 0 -> memory = 0; break
  :: v > 0 ->
     a = 0; heard = 0; found = 0; second = 0;
     do
     :: a < ANCHORS ->
        look(a, v, seen);
        if
        :: seen == LOST
        :: seen == 0 -> heard++
        :: else ->
           heard++;
           if
           :: found == 0 -> found = seen
           :: found != 0 && found != seen -> second = seen
           :: else
           fi
        fi;
        a++
     :: else -> break
     od;
     if
     :: heard < QUORUM -> break /* unavailable */
     :: heard >= QUORUM && found == 0 -> v--
     :: else ->
        if
        :: top == 0 -> top = v
        :: else
        fi;
#ifdef HALF_CLAIMED_IGNORED
        if
        :: second == 0 && heard == ANCHORS && HOLDS_EVERYWHERE(found, v) -> memory = found; break
        :: else -> v--; top = 0
        fi
#else
        claimAll(found);
        if
        :: mine < QUORUM && second != 0 -> found = second; claimAll(found)
        :: else
        fi;
        if
        :: mine >= QUORUM -> memory = found; break
#ifdef CONFLICT_PASSED_OVER
        :: mine < QUORUM && second != 0 && heard == ANCHORS -> v--
#endif
        :: mine < QUORUM && mine + others == ANCHORS && others > ANCHORS - QUORUM && ANCHORS - others < QUORUM && heard == ANCHORS -> v--
        :: else -> break /* unavailable */
        fi
#endif
     fi
  od;
  if
  :: memory != LOST && memory != 0 && !stored[memory] -> memory = LOST /* the host does not have it: refused */
  :: else
  fi;
#endif
  if
  :: memory != LOST -> assert(version[memory] >= before) /* never older than what was answered from */
  :: else
  fi;
  v = 0; a = 0; heard = 0; found = 0; second = 0; mine = 0; others = 0; seen = 0; before = 0; r = 0
}

inline update() {
  atomic {
    made++;
    r = made;
    parent[r] = memory;
    version[r] = top + 1
  };
#ifdef CLAIM_BEFORE_STORE
  skip;
#else
  stored[r] = true;
#endif
  claimAll(r);
#ifdef CLAIM_BEFORE_STORE
  if
  :: stored[r] = true
  :: faults > 0 -> faults-- /* stopped between the two */
  fi;
#endif
  if
  :: mine >= QUORUM -> release(r); memory = r; top = version[r]
  :: else -> memory = LOST /* another's, or unknown: what is there is read again */
  fi;
  r = 0; a = 0; seen = 0; mine = 0; others = 0
}

proctype Enclave() {
  byte memory = LOST, r, a, v, seen, heard, found, second, mine, others, before, top;
  do
  :: atomic { steps > 0 -> steps-- };
     if
     :: memory == LOST -> restore()
     :: memory != LOST -> memory = LOST /* stopped, and started again */
     :: memory != LOST && made < RECORDS - 1 && top < VERSIONS - 1 -> update()
     fi
  :: atomic { running--; break }
  od
}

proctype Host() {
  byte a, r;
end:
  do
  :: atomic {
       running > 0 && faults > 0 ->
       select(a : 0 .. ANCHORS - 1);
       select(r : 1 .. RECORDS);
       if
       :: sent[a * (RECORDS + 1) + r] && !COLLUDES(a) -> faults--; write(a, r)
       :: else
       fi
     }
  od
}

proctype Calm() {
  byte memory = LOST, r, a, v, seen, heard, found, second, mine, others, before, top;
  running == 0;
  faults = 0;
  if
  :: COLLUDING == 0 -> restore(); assert(memory != LOST); update(); assert(memory != LOST)
  :: else
  fi
}

init {
  atomic {
    running = 2;
    run Enclave();
    run Enclave();
    run Host();
    run Calm()
  }
}
