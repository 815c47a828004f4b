/* A power cut, seen from a process: what was not synced is gone.
 *
 * Loaded by LD_PRELOAD. Whenever a file below the folder ONLY_SYNCED_FROM is synced, it is copied as it then is to the
 * same place below the folder ONLY_SYNCED_TO; when a folder is synced, what was renamed in it is renamed there too if
 * it was synced, and what was removed from it is removed. After the process was killed, that folder holds what a disk
 * holds after a power cut that lost every write since the last sync of its file: the least that a disk may keep.
 *
 * The folder ONLY_SYNCED_TO/.synced knows what was synced by its inode and moment of birth, so that it is found again
 * under another name.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void put_together(char *into, const char *format, const char *first, const char *second)
{
    if (snprintf(into, PATH_MAX, format, first, second) >= PATH_MAX)
        abort();
}

/* Where the copy of a file is known by its inode; whether it is a regular file at all. */
static int known_as(const char *path, const char *to, char *into)
{
    struct statx found;
    char name[96];
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_TYPE | STATX_BTIME, &found) != 0 || !S_ISREG(found.stx_mode))
        return 0;
    snprintf(name, sizeof name, "%llu-%lld-%u", (unsigned long long)found.stx_ino, (long long)found.stx_btime.tv_sec,
             found.stx_btime.tv_nsec);
    put_together(into, "%s/.synced/%s", to, name);
    return 1;
}

static void draft_of_this_process(const char *to, char *into)
{
    char name[32];
    snprintf(name, sizeof name, "draft-%d", (int)getpid());
    put_together(into, "%s/.synced/%s", to, name);
    unlink(into);
}

static int same_file(const char *one, const char *other)
{
    struct stat first, second;
    return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_ino == second.st_ino;
}

/* The folders above a file of the copy. */
static void make_way(char *path, size_t from)
{
    for (char *slash = strchr(path + from, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            abort();
        *slash = '/';
    }
}

static void draft_becomes(const char *draft, const char *kept)
{
    if (rename(draft, kept) != 0)
        abort();
    unlink(draft); /* rename does nothing where both are the same file */
}

/* A folder was synced: what was renamed is, and what is gone from it is gone. */
static void keep_names(const char *folder, const char *kept_folder, const char *to)
{
    char there[PATH_MAX], kept[PATH_MAX], known[PATH_MAX], draft[PATH_MAX];
    struct dirent *entry;
    DIR *names = opendir(folder);
    while (names != NULL && (entry = readdir(names)) != NULL) {
        put_together(there, "%s/%s", folder, entry->d_name);
        put_together(kept, "%s/%s", kept_folder, entry->d_name);
        if (!known_as(there, to, known) || access(known, F_OK) != 0 || same_file(known, kept))
            continue;
        draft_of_this_process(to, draft);
        make_way(kept, strlen(to) + 1);
        if (link(known, draft) != 0)
            abort();
        draft_becomes(draft, kept);
    }
    if (names != NULL)
        closedir(names);
    names = opendir(kept_folder);
    while (names != NULL && (entry = readdir(names)) != NULL) {
        put_together(there, "%s/%s", folder, entry->d_name);
        put_together(kept, "%s/%s", kept_folder, entry->d_name);
        if (access(there, F_OK) != 0)
            unlink(kept); /* not the folder .synced, which unlink leaves alone */
    }
    if (names != NULL)
        closedir(names);
}

static void keep_file(const char *path, char *kept, const char *to)
{
    char draft[PATH_MAX], known[PATH_MAX], block[65536];
    draft_of_this_process(to, draft);
    if (!known_as(path, to, known))
        return;
    int in = open(path, O_RDONLY), out = open(draft, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0)
        abort();
    for (ssize_t got; (got = read(in, block, sizeof block)) > 0;)
        if (write(out, block, (size_t)got) != got)
            abort();
    close(in);
    close(out);
    make_way(kept, strlen(to) + 1);
    draft_becomes(draft, kept);
    unlink(known);
    if (link(kept, known) != 0)
        abort();
}

static void keep(int fd)
{
    const char *from = getenv("ONLY_SYNCED_FROM"), *to = getenv("ONLY_SYNCED_TO");
    char own[64], path[PATH_MAX], kept[PATH_MAX];
    struct stat what;
    if (from == NULL || to == NULL)
        return;
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(own, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    size_t prefix = strlen(from);
    if (strncmp(path, from, prefix) != 0 || (path[prefix] != '/' && path[prefix] != '\0') || stat(path, &what) != 0)
        return; /* not there, or gone: a file without a name is lost whatever was synced */
    put_together(kept, "%s%s", to, path + prefix);
    pthread_mutex_lock(&one_at_a_time);
    if (S_ISDIR(what.st_mode))
        keep_names(path, kept, to);
    else
        keep_file(path, kept, to);
    pthread_mutex_unlock(&one_at_a_time);
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    keep(fd);
    return real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    keep(fd);
    return real(fd);
}
