# Sourced once by the MariaDB image when the primary's data directory is new: accounts and the table of the reference services.
# shellcheck shell=bash
{
  echo "CREATE DATABASE IF NOT EXISTS shop;"
  sed -e 's/<database>/shop/' -e "s/<password>/$(cat /run/secrets/mysql)/" /stampline/grants.sql
  echo "USE shop;"
  cat /stampline/tracker_web.sql
} | docker_process_sql
