/** The names of the jobs over backups, which are also those of their principals after `system:`. */

export const BACKUP_JOB = 'backup'
export const REHEARSAL_JOB = 'rehearsal'
