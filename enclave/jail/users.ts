/**
 * Users without name, files or other processes, one for each jail as long as there are no more than 600: what one jail takes
 * counts towards the bounds of no other, and none may touch another. Their numbers are among those that systemd leaves to nobody.
 */
const FIRST = 60_578;
const COUNT = 600;

export const isUserOfJails = (uid: number): boolean => uid >= FIRST && uid < FIRST + COUNT;

export interface Users {
  /** The next in turn that no jail has; where each has one, the next all the same. */
  take(): number;
  /** Its jail is gone. */
  free(user: number): void;
}

export function usersOfJails(): Users {
  const taken = new Set<number>();
  let last = -1;
  const next = (): number => {
    last = (last + 1) % COUNT;
    return FIRST + last;
  };
  return {
    take() {
      let user = next();
      for (let others = COUNT; others > 1 && taken.has(user); others--) user = next();
      taken.add(user);
      return user;
    },
    free: (user) => void taken.delete(user),
  };
}
