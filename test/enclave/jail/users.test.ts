import { expect, test } from 'vitest';
import { isUserOfJails, usersOfJails } from '../../../enclave/jail/users.ts';

test('a user is given to one jail at a time, however long that one lives', () => {
  const users = usersOfJails();
  const longLived = [users.take(), users.take()];
  const seen = new Set(longLived);
  for (let jail = 0; jail < 2_000; jail++) {
    const user = users.take();
    expect(longLived).not.toContain(user);
    expect(isUserOfJails(user)).toBe(true);
    seen.add(user);
    users.free(user);
  }
  expect(seen.size).toBe(600);
  users.free(longLived[0] ?? 0);
  const again = Array.from({ length: 599 }, () => users.take());
  expect(again).toContain(longLived[0]);
  expect(new Set([...again, longLived[1]]).size).toBe(600);
  // More jails than users: none is refused one.
  expect(isUserOfJails(users.take())).toBe(true);
});
