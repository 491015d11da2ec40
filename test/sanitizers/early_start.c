// Starts the address sanitizer before any other library of the program, by the first malloc().
//
// Otherwise the first malloc() may be one inside of gettext, from the constructor of some library
// that the server is linked with. The sanitizer's start then asks gettext for the text of an error,
// which takes the lock that its caller holds: the server hangs before its main().
#include <stdlib.h>

static void *volatile first;

__attribute__((constructor)) static void start_sanitizer(void) {
  first = malloc(1);
  free(first);
}
