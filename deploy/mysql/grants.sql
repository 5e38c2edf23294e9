-- The accounts of stampline, each with the least it needs. For MariaDB >= 10.5 and MySQL >= 5.7, on the primary: replication
-- carries them to the replicas. Put your own values in first, for instance:
--   (umask 077 && openssl rand -hex 16 >mysql.password)          # for password_file of the roles
--   sed -e 's/<database>/shop/' -e "s/<password>/$(cat mysql.password)/" deploy/mysql/grants.sql | mariadb
-- Narrow '%' to your networks.

-- The replicas of the primary.
CREATE USER IF NOT EXISTS 'repl'@'%' IDENTIFIED BY '<password>';
GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%';

-- `stampline source`: reads the binlog of the primary, and column names and keys (information_schema shows only tables one
-- may read, and foreign keys only to those who may do more than read: REFERENCES is the least of that). MariaDB gives SHOW SLAVE STATUS a privilege of its own; the comment is read by MariaDB only.
CREATE USER IF NOT EXISTS 'stampline_source'@'%' IDENTIFIED BY '<password>';
GRANT REPLICATION SLAVE, REPLICATION CLIENT /*M!100509 , SLAVE MONITOR */ ON *.* TO 'stampline_source'@'%';
GRANT SELECT, REFERENCES ON `<database>`.* TO 'stampline_source'@'%';

-- `stampline mirror`: asks each replica which GTIDs it has applied; reads no table.
CREATE USER IF NOT EXISTS 'stampline_gate'@'%' IDENTIFIED BY '<password>';
GRANT REPLICATION CLIENT /*M!100509 , SLAVE MONITOR */ ON *.* TO 'stampline_gate'@'%';

-- The web processes: they read.
CREATE USER IF NOT EXISTS 'toc'@'%' IDENTIFIED BY '<password>';
GRANT SELECT ON `<database>`.* TO 'toc'@'%';

-- The back office: it writes.
CREATE USER IF NOT EXISTS 'tob'@'%' IDENTIFIED BY '<password>';
GRANT SELECT, INSERT, UPDATE, DELETE ON `<database>`.* TO 'tob'@'%';
