/*
 * The ticket protocol (DESIGN section 7, enclave/claims): two enclaves of one image, several anchors, a host that loses,
 * delays, duplicates and replays every message and stops enclaves at any step, and owners who collude with it.
 *
 * Bounds, set on the command line (-D):
 *   ANCHORS QUORUM   how many stores, how many must hold a ticket
 *   TICKETS          the quota of one party for one function
 *   REQUESTS         different requests of that party
 *   ASKS             how often a request is brought to an enclave, over all requests and enclaves
 *   FAULTS           messages that the host loses, before or after they take effect
 *   COLLUDING        bit a: the owner of anchor a shows and forgets whatever suits
 *   CLOSING          a successor closes the collaboration meanwhile
 *
 * A stop of an enclave needs no step of its own: an enclave keeps nothing between two requests here (the real one only
 * remembers entries, which never change), so being stopped in the middle is losing the next message. An enclave that
 * serves two requests at once is two of them.
 *
 * Rules that can be taken out, each of which must then fail:
 *   NO_CONDITIONAL_WRITE   an anchor's entry can be overwritten
 *   RELEASE_BEFORE_QUORUM  the answer leaves when the first anchor holds
 *   ONE_SHORT_OF_QUORUM    one anchor less is enough
 *   NEXT_BEFORE_CERTAIN    the next ticket is tried while this one may still become ours
 *   NEXT_WHEN_BEATEN       the next ticket is tried when this one cannot become ours any more, though it may have been
 *   FRESH_ON_LOSS          a lost acknowledgement is taken for a loss, and the next ticket is claimed
 *   CLOSE_WITHOUT_TICKETS  the successor serves before every free ticket is taken
 */
#ifndef ANCHORS
#define ANCHORS 2
#endif
#ifndef QUORUM
#define QUORUM ANCHORS
#endif
#ifndef TICKETS
#define TICKETS 1
#endif
#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef ASKS
#define ASKS 4
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef COLLUDING
#define COLLUDING 0
#endif
#ifdef ONE_SHORT_OF_QUORUM
#define ENOUGH (QUORUM - 1)
#else
#define ENOUGH QUORUM
#endif

#define FREE 0
#define OWN(r) ((r) + 1)
#define CLOSED (REQUESTS + 1)
#define LOST 255
#define AT(a, k) ((a) * TICKETS + (k))
#define MESSAGE(a, k, r) ((AT(a, k)) * (REQUESTS + 1) + (r))
#define MAY_STILL_HOLD(others) (ANCHORS - (others) >= ENOUGH)
#ifdef NEXT_BEFORE_CERTAIN
#define NEXT(others, seen) ((others) > 0)
#else
#ifdef NEXT_WHEN_BEATEN
#define NEXT(others, seen) (!MAY_STILL_HOLD(others))
#else
#ifdef FRESH_ON_LOSS
#define NEXT(others, seen) ((others) >= QUORUM || (seen) == LOST)
#else
#define NEXT(others, seen) ((others) >= QUORUM)
#endif
#endif
#endif
#define COLLUDES(a) ((COLLUDING >> (a)) & 1)

byte holder[ANCHORS * TICKETS];
bool sent[ANCHORS * TICKETS * (REQUESTS + 1)]; /* what the host and the owner of the anchor have seen, and may replay */
bool answered[REQUESTS];
byte answeredFrom[REQUESTS];  /* number of the ticket, and 1; 0: of none yet */
bool ticketed[REQUESTS];     /* held a ticket anywhere when the successor began to serve */
byte answers = 0;
byte asks = ASKS;
byte faults = FAULTS;
byte running = 0;
bool closed = false;

inline write(a, k, r) {
#ifdef NO_CONDITIONAL_WRITE
  holder[AT(a, k)] = OWN(r)
#else
  if
  :: holder[AT(a, k)] == FREE -> holder[AT(a, k)] = OWN(r)
  :: else
  fi
#endif
}

/* One claim, and what is heard of it: the holder, or LOST. */
inline claim(a, k, r, seen) {
  atomic {
    sent[MESSAGE(a, k, r)] = true;
    if
    :: COLLUDES(a) ->
       if /* whatever it has been shown, or nothing */
       :: seen = OWN(r)
       :: sent[MESSAGE(a, k, 0)] -> seen = OWN(0)
       :: sent[MESSAGE(a, k, 1)] -> seen = OWN(1)
       :: faults > 0 -> faults--; seen = LOST
       fi
    :: !COLLUDES(a) -> write(a, k, r); seen = holder[AT(a, k)]
    :: !COLLUDES(a) && faults > 0 -> faults--; write(a, k, r); seen = LOST
    :: !COLLUDES(a) && faults > 0 -> faults--; seen = LOST
    fi
  }
}

/* Reads without writing. */
inline look(a, k, r, seen) {
  atomic {
    if
    :: COLLUDES(a) ->
       if
       :: seen = FREE
       :: sent[MESSAGE(a, k, 0)] -> seen = OWN(0)
       :: sent[MESSAGE(a, k, 1)] -> seen = OWN(1)
       fi
    :: !COLLUDES(a) -> seen = holder[AT(a, k)]
    :: faults > 0 -> faults--; seen = LOST
    fi
  }
}

inline release(r, k) {
  atomic {
    /* No request is answered from two tickets, whoever colludes. */
    assert(answeredFrom[r] == 0 || answeredFrom[r] == k + 1);
    answeredFrom[r] = k + 1;
    /* A closed predecessor gives no answer but to who held a ticket before. */
    assert(!closed || ticketed[r]);
    if
    :: answered[r]
    :: else ->
       answered[r] = true;
       answers++;
       assert(answers <= TICKETS) /* answers never exceed the quota */
    fi
  }
}

/* A message that was sent takes effect later, or once more. */
proctype Host() {
  byte a, k, r;
end:
  do
  :: atomic {
       running > 0 && faults > 0 ->
       select(a : 0 .. ANCHORS - 1);
       select(k : 0 .. TICKETS - 1);
       select(r : 0 .. REQUESTS);
       if
       :: sent[MESSAGE(a, k, r)] && !COLLUDES(a) -> faults--; write(a, k, r)
       :: else
       fi
     }
  od
}

/* What anchor a shows is remembered, and counted: the anchors that hold r's tag and those that hold another's. */
inline note() {
  if
  :: seen == LOST || seen == FREE
  :: seen == OWN(r) -> mine++; known = known | (1 << a)
  :: else -> others++; known = known | (1 << a)
  fi
}

/* Claims ticket k for `whom` wherever nothing is known to stand. */
inline claimAll(whom) {
  a = 0;
  do
  :: a < ANCHORS ->
     if
     :: (known >> a) & 1
     :: else -> claim(a, k, whom, seen); note()
     fi;
     a++
  :: else -> break
  od
}

/* Serves request r with its variables k, a, seen, mine, others, known, holdersTag. */
inline serve() {
  k = 0;
  do
  :: k >= TICKETS -> break /* quota-exceeded */
  :: else ->
     /* The first anchor in order that answers: before it holds our tag the jail does not see the input. */
     mine = 0; others = 0; known = 0; a = 0; seen = LOST;
     do
     :: a < ANCHORS && seen == LOST && (a == 0 || ENOUGH < ANCHORS) -> claim(a, k, r, seen); note(); a++
     :: else -> break
     od;
     if
     :: seen == LOST
     :: seen == OWN(r) ->
#ifdef RELEASE_BEFORE_QUORUM
        release(r, k);
#endif
        claimAll(r)
     :: seen != LOST && seen != OWN(r) ->
        if
        :: NEXT(others, seen)
        :: else ->
           /* Another's there: unless ours is seen elsewhere it is finished for him, until ours is lost. */
           holdersTag = seen; a = 0;
           do
           :: a < ANCHORS ->
              if
              :: (known >> a) & 1
              :: else -> look(a, k, r, seen); note()
              fi;
              a++
           :: else -> break
           od;
           if
           :: mine == 0 && !NEXT(others, seen) -> claimAll(holdersTag - 1)
           :: else
           fi;
           if
           :: MAY_STILL_HOLD(others) && !NEXT(others, seen) -> claimAll(r)
           :: else
           fi
        fi
     fi;
     if
     :: mine >= ENOUGH -> release(r, k); break
     :: mine < ENOUGH && NEXT(others, seen) -> k++ /* with the answer in hand, where there is one */
     :: else -> break /* unavailable: the same request may be brought again */
     fi
  od;
  a = 0; k = 0; mine = 0; others = 0; known = 0; seen = 0; holdersTag = 0
}

proctype Enclave() {
  byte r, a, k, seen, mine, others, known, holdersTag;
  do
  :: atomic { asks > 0 -> asks--; select(r : 0 .. REQUESTS - 1) };
     serve()
  :: atomic { running--; break }
  od
}

#ifdef CLOSING
/* The successor claims every free ticket at every anchor, then serves. It goes on until a quorum answered for each. */
proctype Successor() {
  byte a, k, seen, taken;
  k = 0;
#ifndef CLOSE_WITHOUT_TICKETS
  do
  :: k < TICKETS ->
     taken = 0; a = 0;
     do
     :: a < ANCHORS ->
        claim(a, k, REQUESTS, seen);
        if
        :: seen == LOST
        :: else -> taken++
        fi;
        a++
     :: else -> break
     od;
     if
     :: taken >= ENOUGH -> k++
     :: else -> goto given_up
     fi
  :: else -> break
  od;
#endif
  atomic {
    k = 0;
    do
    :: k < REQUESTS ->
       a = 0;
       do
       :: a < ANCHORS * TICKETS ->
          if
          :: holder[a] == OWN(k) -> ticketed[k] = true
          :: else
          fi;
          a++
       :: else -> break
       od;
       ticketed[k] = ticketed[k] || answered[k];
       k++
    :: else -> break
    od;
    closed = true
  }
given_up:
  running--
}
#endif

/* When all is calm: what was paid for is still to be had, and no request holds two tickets at honest anchors. */
proctype Calm() {
  byte r, a, k, seen, mine, others, known, holdersTag, paid, tickets;
  bool first;
  running == 0;
  atomic { faults = 0; r = 0 };
  do
  :: r < REQUESTS ->
     atomic {
       tickets = 0; first = false; k = 0;
       do
       :: k < TICKETS ->
          paid = 0; a = 0;
          do
          :: a < ANCHORS ->
             if
             :: !COLLUDES(a) && holder[AT(a, k)] == OWN(r) -> paid++
             :: else
             fi;
             a++
          :: else -> break
          od;
          if
          :: paid >= QUORUM -> tickets++
          :: else
          fi;
          if
          :: COLLUDING == 0 && QUORUM == ANCHORS && holder[AT(0, k)] == OWN(r) -> first = true
          :: else
          fi;
          k++
       :: else -> break
       od;
       a = 0; k = 0; paid = 0
     };
#ifndef CLOSING
     assert(tickets <= 1);
     if
     :: tickets > 0 || first -> serve(); assert(answered[r])
     :: else
     fi;
#endif
     r++
  :: else -> break
  od
}

init {
  atomic {
    running = 2;
    run Enclave();
    run Enclave();
#ifdef CLOSING
    running++;
    run Successor();
#endif
    run Host();
    run Calm()
  }
}
