# A partition is skipped although commands before the offset are still in hand.
set(file worker/lane/skip.c)
set(old [==[
bool waits = !skips[i].unread && is_in_hand(&skips[i], messages, count);]==])
set(new [==[
bool waits = false;]==])
