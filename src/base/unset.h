/* Locals are zeroed where they are declared (-ftrivial-auto-var-init=zero). A large one on the way
 * of every request that is written before it is read need not be: UNSET struct err err; */
#pragma once

#define UNSET __attribute__((uninitialized))
